"""The emulated fabric and the training jobs that MLNet SDN is evaluated with."""
