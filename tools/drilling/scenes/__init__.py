"""The drills, one a file: what is done to an `Exercise`, and what is looked at. `catalogue` lists them."""
