# Transfers: curl and lftp against closed ports, unknown names, and small servers of Python.
N=$JOB/net
mkdir -p "$N"
cat >"$N/server.py" <<'S'
import http.server, socketserver, ssl, sys, threading
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        code = int(self.path.rsplit("/", 1)[1])
        self.send_response(code); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_): pass
plain = http.server.ThreadingHTTPServer(("127.0.0.1", 18080), Answers)
secure = http.server.ThreadingHTTPServer(("127.0.0.1", 18443), Answers)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain("/tmp/job/net/cert.pem", "/tmp/job/net/key.pem")
secure.socket = context.wrap_socket(secure.socket, server_side=True)
class Ftp(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 ready\r\n")
        for line in self.rfile:
            word = line.split()[0].upper()
            self.wfile.write({b"USER": b"331 Please specify the password.\r\n", b"PASS": b"530 Login incorrect.\r\n"}.get(word, b"502 Command not implemented.\r\n"))
ftp = socketserver.ThreadingTCPServer(("127.0.0.1", 18021), Ftp)
silent = __import__("socket").create_server(("127.0.0.1", 18099))
for server in (plain, secure, ftp): threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready", flush=True); threading.Event().wait()
S
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=warehouse.internal -keyout "$N/key.pem" -out "$N/cert.pem" 2>/dev/null
python3 "$N/server.py" >"$N/server.out" 2>&1 &
SERVER=$!
for _ in $(seq 50); do grep -q ready "$N/server.out" && break; sleep 0.1; done
fails 100-curl-refused connection-refused -- curl -sS http://127.0.0.1:18001/push
fails 101-curl-unknown-host unknown-host holdout -- curl -sS http://push.invalid/tags
fails 102-curl-404 http-not-found -- curl -sSf http://127.0.0.1:18080/export/404
fails 103-curl-401 authentication -- curl -sSf http://127.0.0.1:18080/export/401
fails 104-curl-503 http-server-error -- curl -sSf http://127.0.0.1:18080/export/503
fails 105-curl-certificate tls -- curl -sS https://127.0.0.1:18443/export/200
fails 106-python-certificate tls holdout -- python3 -c 'import urllib.request; urllib.request.urlopen("https://127.0.0.1:18443/200")'
fails 107-curl-timeout network-timeout -- curl -sS -m 1 http://127.0.0.1:18099/slow
fails 108-curl-ftp-login authentication holdout -- curl -sS -u callcenter:wrong ftp://127.0.0.1:18021/
fails 109-curl-missing-upload missing-file -- curl -sS -T /tmp/job/export/20180701.csv http://127.0.0.1:18080/200
fails 110-lftp-refused connection-refused holdout -- lftp -c 'set net:max-retries 1; set net:reconnect-interval-base 1; open -u a,b ftp://127.0.0.1:18002; put /etc/hostname'
fails 111-lftp-login authentication -- lftp -c 'set net:max-retries 1; set ftp:ssl-allow no; open -u callcenter,wrong ftp://127.0.0.1:18021; ls'
fails 112-lftp-unknown-host unknown-host -- lftp -c 'set net:max-retries 1; open ftp://callcenter.invalid; ls'
fails 113-python-http-500 http-server-error holdout -- python3 -c 'import urllib.request; urllib.request.urlopen("http://127.0.0.1:18080/500")'
kill $SERVER; wait $SERVER 2>/dev/null
