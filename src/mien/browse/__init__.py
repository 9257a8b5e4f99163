"""`mien browse`: a sheet of a pack's faces, for people who would rather look than count."""
