"""A head's texture from photographs at their own resolution, for people to look at."""
