/* A search result shows a piece of its page, which Sphinx fetches: browsers refuse that to a page opened as a file. */
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
