"""Whether a report arrived: read_report.py FOLDER YYYY-MM-DD TEXT...

FOLDER has the mails as the SMTP server stored them. The newest report of the date must have each TEXT in its plain text, and
its charts as PNG pictures. Prints its subject.
"""

import email
import email.policy
import pathlib
import sys

folder, date, *texts = sys.argv[1:]
mails = sorted(pathlib.Path(folder).glob("*.eml"), key=lambda path: int(path.stem), reverse=True)
for path in mails:
    mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    if f"shop tags of {date}" in mail["Subject"]:
        break
else:
    sys.exit(f"error: there is no report of {date} among {len(mails)} mails in {folder}")
text = mail.get_body(("plain",)).get_content()
for wanted in texts:
    if wanted not in text:
        sys.exit(f"error: the report of {date} does not say {wanted!r}:\n{text}")
pictures = [part.get_content() for part in mail.walk() if part.get_content_type() == "image/png"]
if not all(picture.startswith(b"\x89PNG") for picture in pictures):
    sys.exit("error: a chart is no PNG picture")
print(f"{mail['Subject']} ({len(pictures)} charts)")
