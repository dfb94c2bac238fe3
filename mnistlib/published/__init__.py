"""Published models for this exercise: their nets, recipes and claims, trained again and compared."""
