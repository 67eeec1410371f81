install -m 755 server /toxiproxy
ln -s /toxiproxy /usr/local/bin/toxiproxy
/toxiproxy --version
