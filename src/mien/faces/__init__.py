"""What a face is: its classes, landmarks, crop, image and detector. Imports nothing else of mien but errors."""
