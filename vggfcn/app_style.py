"""How the page looks: three columns on a wide screen, one on a narrow one, the picture before the settings."""

CSS = """
.gradio-container { max-width: 1500px !important; margin: 0 auto; padding: 16px 20px !important; }
footer { display: none !important; }
#title h1 { font-size: 1.35rem; font-weight: 600; margin: 0; display: inline; }
#title p { display: inline; margin: 0 0 0 .75rem; color: var(--body-text-color-subdued); }
.gradio-container > .app { padding: 0 !important; }
.gradio-container .html-container { padding: 0 !important; }
body.dark, .dark { color-scheme: dark; }
#page { display: grid !important; gap: 16px; align-items: start;
  grid-template: "drop main side" auto "settings main side" auto "settings more side" 1fr
    / 250px minmax(0, 1fr) 300px; }
#page:not(:has(#side)) {
  grid-template: "drop main" auto "settings main" auto "settings more" 1fr / 250px minmax(0, 1fr); }
#drop { grid-area: drop; }
#settings { grid-area: settings; }
#main { grid-area: main; gap: 8px; }
#main .gap, #main > div { gap: 8px; }
#more { grid-area: more; }
#side { grid-area: side; gap: 16px; }
#said:not(:has(p)), #loading:not(:has(p)) { display: none; }
#scales .wrap { flex-wrap: nowrap; gap: 6px; }
#scales label, #stride label { padding: 6px 9px; }
.message { margin: 0; padding: 8px 12px; border-radius: 6px; background: var(--background-fill-secondary);
  color: var(--body-text-color-subdued); overflow-wrap: anywhere; }
.message.wrong { color: var(--error-text-color); background: var(--error-background-fill);
  border: 1px solid var(--error-border-color); }
#summary h2 { font-size: 1.35rem; font-weight: 600; margin: 0; overflow-wrap: anywhere; }
#summary h2 span { font-weight: 400; font-size: 1rem; }
#summary p, #side p, #cell dt { margin: 0; color: var(--body-text-color-subdued); font-size: .875rem; }
#cell dt { font-weight: 400; }
#heatmap img { cursor: crosshair; }
#picture img { cursor: crosshair; }
#cell h3 { font-size: 1rem; font-weight: 600; margin: 4px 0; }
#cell dl { display: grid; grid-template-columns: repeat(4, 1fr); gap: 8px; margin: 0; }
#cell dl div { background: var(--background-fill-secondary); border-radius: 6px; padding: 6px 10px; }
#cell dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; }
#samples .grid-wrap { height: auto !important; min-height: 0 !important; max-height: none !important;
  overflow: hidden !important; }
#side h3 { font-size: 1rem; font-weight: 600; margin: 0 0 4px; }
#side table { width: 100%; border-collapse: collapse; margin: 4px 0; font-variant-numeric: tabular-nums; }
#side table, #side table * { border: 0 !important; }
#side table th, #side table td { color: var(--body-text-color); }
#side th { font-weight: 400; text-align: left; padding: 3px 8px 3px 0; overflow-wrap: anywhere; }
#side td { text-align: right; padding: 3px 0 3px 8px; white-space: nowrap; }
#side table tr { border-bottom: 1px solid var(--border-color-primary) !important; background: none; }
#side table thead th, #side table thead td { color: var(--body-text-color-subdued); }
#side strong { color: var(--body-text-color); }
.scale { display: flex; align-items: center; gap: 8px; margin: 0; font-size: .875rem;
  color: var(--body-text-color-subdued); white-space: nowrap; }
.scale span { flex: 1; height: 8px; border-radius: 4px; }
.files { display: flex; gap: 8px; margin: 0; }
.files a { flex: 1; text-align: center; padding: 7px 0; border-radius: 6px; font-weight: 600; text-decoration: none;
  color: var(--button-secondary-text-color); background: var(--button-secondary-background-fill); }
.files a:hover { background: var(--button-secondary-background-fill-hover); }
.welcome { text-align: center; padding: 48px 16px 32px; }
.welcome h2 { font-size: 1.6rem; font-weight: 600; margin: 0 0 8px; }
.welcome p { margin: 0; color: var(--body-text-color-subdued); }
@media (max-width: 1023px) {
  #page { grid-template: "drop" auto "main" auto "settings" auto "side" auto "more" auto / minmax(0, 1fr); }
  #page:not(:has(#side)) { grid-template: "drop" auto "main" auto "more" auto "settings" auto / minmax(0, 1fr); }
}
@media (max-width: 639px) {
  .gradio-container { padding: 12px !important; }
  #title p { display: block; margin: 2px 0 0; }
  #cell dl { grid-template-columns: repeat(2, 1fr); }
  .welcome { padding: 20px 8px 12px; }
}
"""
