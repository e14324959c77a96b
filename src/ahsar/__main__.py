"""`python -m ahsar`, which is also how torchrun starts the command line."""

from .cli import main

if __name__ == "__main__":
    main()
