"""`asled ui`: a page to drop clips on; the only user of gradio."""
