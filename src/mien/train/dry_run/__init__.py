"""`mien train --plan`: what a run would do, without training."""
