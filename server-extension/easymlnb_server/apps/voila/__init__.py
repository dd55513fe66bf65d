"""All that is known here of Voila's insides: its files, its page config, what its page must hold.

Its front end renders our pages and finds a "kernel" under ``baseUrl`` that is one of our places.
Neither its handlers nor its kernels are used.
"""
