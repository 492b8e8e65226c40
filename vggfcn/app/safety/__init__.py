"""What keeps strangers and floods out of the page: everything a request passes before Gradio sees it.

What to know before changing something here:

- **Gradio handles no files.** It would open, hash and copy whatever path or address a request names. `uploads` keeps
  the files, `bodies` rewrites each event so that no file description is left in it, and drawings and samples have
  addresses of their own.
- **A request passes `connections`, `guard` and `queue`, in that order.** What is not on `guard`'s list of routes does
  not exist.
- **A visitor is a cookie, a session is an opened page.** `guard` puts the visitor's name in front of each session's, so
  that nobody can name another visitor's session.
"""
