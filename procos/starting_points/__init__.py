"""What `procos new` copies: a package of one task, its process and its tests, which work as they are."""
