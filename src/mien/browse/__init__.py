"""`mien browse`: a contact sheet of a pack's faces, for looking at them."""
