# Runs an engine until nobody has needed it for a while. $1: its directory, $2: where its data goes.
# Whoever starts or ends one holds `start`; whoever uses it holds `users`, shared.
dockerd --data-root "$2" --exec-root "$1/exec" --pidfile "$1/pid" --host "unix://$1/docker.sock" >"$1/log" 2>&1 &
engine=$!
while sleep 10 && kill -0 $engine; do
	exec 8>"$1/start" 9>"$1/users"
	if flock --nonblock 8 && flock --nonblock 9; then
		kill $engine
		wait $engine
		rm -rf "$2" "$1/exec" "$1/docker.sock" "$1/pid"
		exit
	fi
	exec 8>&- 9>&-
done
