"""`mien push`: a model file -> a model repository on the Hugging Face Hub, with a card that the Hub reads."""
