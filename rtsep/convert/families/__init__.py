"""One converter for each family of foreign networks."""
