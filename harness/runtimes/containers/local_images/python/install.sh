install_packages python3 python3-pip python3-venv ca-certificates
ln -s /usr/bin/python3 /usr/local/bin/python
# An image is an environment of its own: pip may install into it.
rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
# A Dockerfile that begins with this image runs pip behind the same certificates as this machine.
if [ -f ca.crt ]; then cp ca.crt /etc/ssl/certs/ca-certificates.crt; fi
python --version
