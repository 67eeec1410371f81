service_account rabbitmq 999 /var/lib/rabbitmq
install_packages rabbitmq-server
# Debian's wrappers in /usr/sbin insist on one system user; the scripts behind them serve anybody.
for program in /usr/lib/rabbitmq/bin/*; do
    ln -sf "$program" "/usr/local/bin/$(basename "$program")"
done
printf '[rabbitmq_management,rabbitmq_prometheus].\n' >/etc/rabbitmq/enabled_plugins
install -d -m 755 /etc/rabbitmq/conf.d
install -m 644 defaults.conf /etc/rabbitmq/conf.d/10-defaults.conf
rm -rf /var/lib/rabbitmq /var/log/rabbitmq
install -d -o rabbitmq -g rabbitmq -m 1777 /var/lib/rabbitmq /var/lib/rabbitmq/mnesia /var/log/rabbitmq
install -m 755 entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ls -d /usr/lib/rabbitmq/lib/*/plugins/rabbitmq_management-*
