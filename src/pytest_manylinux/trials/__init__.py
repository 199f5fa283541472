"""The trial: install and import a wheel in a distro."""
