"""Drawing predictions on images: boxes, landmark contours and labels, and text in any script."""
