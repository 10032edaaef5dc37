"""Tables that name images and say what is known of them, as archives and astronomers write them."""
