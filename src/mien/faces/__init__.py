"""What a face is: its classes, landmarks, crop, picture and detector. Imports nothing else of mien but errors."""
