"""Video: frames captured, faces followed from frame to frame, predictions smoothed over time."""
