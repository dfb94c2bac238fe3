"""Many jobs at once on Ray, and the page that compares them."""
