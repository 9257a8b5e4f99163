"""`mien sample`: draw a face set in AffectNet's layout, for trying out everything else.

The faces are parametric, with exact landmarks, valence and arousal; no photographs are involved. From the bottom up:
`curves` and `canvas` (shapes on pixels), `identity` and `expressions` (person and movement), `geometry` (landmarks and
curves), `skin`, `features`, `hair`, `wear`, `scenes` and `light` (what is painted), `image` (one image), `plan` and
`write` (the set).
"""
