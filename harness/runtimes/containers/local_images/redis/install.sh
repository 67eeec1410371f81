service_account redis 999 /data
install_packages redis-server
rm -rf /etc/redis /var/lib/redis /var/log/redis
install -d -o redis -g redis -m 1777 /data
install -m 755 entrypoint.sh /usr/local/bin/docker-entrypoint.sh
redis-server --version
