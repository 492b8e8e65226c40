"""The page in the browser: drop an image, choose a class, see where the network finds it.

What to know before changing something here:

- **`sessions` and `networks` know nothing of Gradio**, so they are tested without a page. `events` connects them to the
  components of `page`; `rendering` turns results into images and HTML.
- **Only `page`, `components`, `events`, `routes` and parts of `safety` need Gradio, FastAPI or uvicorn.** `server`
  imports them when it serves, so that the command line starts without them.
- **`safety` stands before everything.** An address that the page newly needs must be put on `safety.guard`'s list, and
  an event's new kind of value into `safety.bodies`.
- **Everything that is drawn comes from one map.** A map depends on `Settings` alone; another class, another opacity or
  a click reads the existing map and evaluates nothing.
- **Images are hostile, and so are names.** Escape whatever goes into HTML. C libraries print to stderr on their own;
  `loading.silenced` is not used here, because it would redirect stderr for all of the server's threads.
"""
