"""Video: frames captured, faces tracked from frame to frame, predictions smoothed over time."""
