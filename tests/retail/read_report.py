"""Whether a report arrived: read_report.py FOLDER YYYY-MM-DD TEXT...

FOLDER has the mails as the SMTP server stored them. Within two minutes, for mail is sent after the run, the newest report of
the date must have each TEXT in its plain text; if any check has values, there must be charts as PNG pictures. Prints its subject.
"""

import email
import email.policy
import pathlib
import sys
import time

folder, date, *texts = sys.argv[1:]


def newest():
    for path in sorted(pathlib.Path(folder).glob("*.eml"), key=lambda path: int(path.stem), reverse=True):
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        if f"shop tags of {date}" in mail["Subject"]:
            return mail


def missing(mail) -> list[str]:
    text = mail.get_body(("plain",)).get_content()
    return [wanted for wanted in texts if wanted not in text]


deadline = time.monotonic() + 120
while not (mail := newest()) or missing(mail):
    if time.monotonic() > deadline:
        what = f"does not say {missing(mail)}:\n{mail.get_body(('plain',)).get_content()}" if mail else f"is not in {folder}"
        sys.exit(f"error: the report of {date} {what}")
    time.sleep(0.1)
pictures = [part.get_content() for part in mail.walk() if part.get_content_type() == "image/png"]
has_values = "baseline" in mail.get_body(("plain",)).get_content()
if bool(pictures) != has_values or not all(picture.startswith(b"\x89PNG") for picture in pictures):
    sys.exit(f"error: the report has {len(pictures)} charts, or one is no PNG picture")
print(f"{mail['Subject']} ({len(pictures)} charts)")
