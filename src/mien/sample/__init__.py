"""`mien sample`: draws a face set in AffectNet's own layout, to try everything else on.

Parametric faces with exact landmarks, valence and arousal; nobody's photograph. From the ground up: `curves`
and `canvas` (shapes on pixels), `identity` and `expressions` (who, and what it shows), `geometry` (where all
is), `skin`, `features`, `hair`, `wear`, `scenes` and `light` (what is painted), `image` (one image), `plan`
and `write` (the set).
"""
