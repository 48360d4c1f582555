"""What one replica can do: measured profiles, curves derived from them, and the roofline for what nobody measured."""
