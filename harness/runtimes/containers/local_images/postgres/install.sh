service_account postgres 999 /var/lib/postgresql
mkdir -p /etc/postgresql-common
echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
install_packages postgresql
home=$(echo /usr/lib/postgresql/*)
for program in "$home"/bin/*; do
    ln -sf "$program" "/usr/local/bin/$(basename "$program")"
done
sed -i "s/^#*listen_addresses = .*/listen_addresses = '*'/" /usr/share/postgresql/*/postgresql.conf.sample
# Compiling queries needs LLVM, half of the package's size; without its library the server plans without it.
rm -rf "$home"/lib/llvmjit* "$home"/lib/bitcode /usr/lib/*/libLLVM-*.so*
install -d -o postgres -g postgres -m 3777 /var/run/postgresql
install -d -o postgres -g postgres -m 1777 /var/lib/postgresql /var/lib/postgresql/data
mkdir -p /docker-entrypoint-initdb.d
install -m 755 entrypoint.sh /usr/local/bin/docker-entrypoint.sh
postgres --version
