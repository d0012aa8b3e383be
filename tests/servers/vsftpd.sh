#!/usr/bin/env bash
# A vsftpd of its own on a free loopback port, for tests.
#
#     vsftpd.sh start FOLDER     vsftpd.sh stop FOLDER
#
# Files arrive below FOLDER/root/upload. The login is that of FTP's guest with a random password that the server checks, so
# that no account of the machine is touched; FOLDER/netrc has it for curl. start prints the port as soon as it is answered.
# FOLDER, and what is above it, must be open to the user ftp when root starts this.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
action=$1 folder=$2
PATH=$PATH:/usr/sbin

case $action in
  start)
    mkdir -p "$folder/root/upload" "$folder/empty"
    folder=$(cd "$folder" && pwd)
    chmod 755 "$folder" && chmod 555 "$folder/root" "$folder/empty"
    port=$(python3 "$here/free_port.py")
    password=$(python3 -c 'import secrets; print(secrets.token_hex(12))')
    (umask 077; echo "$password" > "$folder/passwords"
      printf 'machine 127.0.0.1 login anonymous password %s\n' "$password" > "$folder/netrc")
    if [ "$(id -u)" -eq 0 ]; then
      chown ftp "$folder/root/upload"
      user=ftp own=NO
    else
      user=$(id -un) own=YES
    fi
    cat > "$folder/vsftpd.conf" << CONF
listen=YES
listen_address=127.0.0.1
listen_port=$port
background=NO
run_as_launching_user=$own
anonymous_enable=YES
local_enable=NO
ftp_username=$user
secure_email_list_enable=YES
email_password_file=$folder/passwords
anon_root=$folder/root
write_enable=YES
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
anon_world_readable_only=NO
anon_umask=022
secure_chroot_dir=$folder/empty
xferlog_enable=YES
xferlog_std_format=NO
vsftpd_log_file=$folder/server.log
seccomp_sandbox=NO
CONF
    vsftpd "$folder/vsftpd.conf" > "$folder/output.log" 2>&1 < /dev/null &
    server=$!
    echo $server > "$folder/pid"
    deadline=$((SECONDS + 180))
    until curl --silent --netrc-file "$folder/netrc" --max-time 5 "ftp://127.0.0.1:$port/" > /dev/null 2>&1; do
      kill -0 $server 2> /dev/null && [ $SECONDS -lt $deadline ] || { cat "$folder/output.log" >&2; exit 1; }
      sleep 0.1
    done
    echo "$port"
    ;;
  stop)
    [ -f "$folder/pid" ] && kill "$(cat "$folder/pid")" 2> /dev/null || true
    ;;
  *) echo "usage: vsftpd.sh start|stop FOLDER" >&2; exit 2 ;;
esac
