"""How networks run: other engines than torch, and families of networks for every budget."""
