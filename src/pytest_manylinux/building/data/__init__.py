"""Data of builds: packages of the distro that bring what libraries are built with."""
