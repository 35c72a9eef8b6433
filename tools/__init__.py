"""Programs for those who work on OneValue, and `drilling`, which tests share with one of them."""
