#!/usr/bin/env bash
# Uploads a file by FTP so that its name appears only when it is whole: upload_ftp.sh FILE ftp://HOST[:PORT]/FOLDER/
# User and password come from the netrc file $FTP_NETRC, not from the command line, where everybody would see them.
set -euo pipefail
file=$1 url=${2%/}/
name=$(basename "$file")
[ -r "$file" ] || { echo "error: $file is missing: export_audience.py writes it" >&2; exit 1; }
curl --silent --show-error --fail --netrc-file "${FTP_NETRC:?names the netrc file}" --ftp-create-dirs --max-time 300 \
  --upload-file "$file" --quote "-RNFR $name.part" --quote "-RNTO $name" "$url$name.part"
size=$(curl --silent --show-error --fail --netrc-file "$FTP_NETRC" --max-time 60 --head "$url$name" | tr -d '\r' | sed -n 's/^Content-Length: //p')
[ "$size" = "$(stat -c %s "$file")" ] || { echo "error: $url$name has ${size:-no} bytes, $file has $(stat -c %s "$file")" >&2; exit 1; }
echo "upload_ftp: $name, $size bytes"
