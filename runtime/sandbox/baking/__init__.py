"""Bakes pure-Python packages into guest images; not part of the running service.

`requirements` reads what is asked for, `wheel` reads one package, `package_index` fetches them with pip, `resolution`
decides which, `image` puts them together, `__main__` is the program.
"""
