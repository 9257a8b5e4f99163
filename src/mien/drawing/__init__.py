"""Drawing predictions on images: boxes, landmark contours and labels."""
