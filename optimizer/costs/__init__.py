"""Cost heads: one small module each, with its formula, units and source. Inputs are arrays; nothing here knows of a model."""
