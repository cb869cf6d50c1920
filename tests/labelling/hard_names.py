"""Names that break what is careless with them."""

HARD_NAMES = (
    'a,"b"; c',
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "line\nbreak\r\nand\ttab",
    "椅子/стул/كرسي",
    " spaces ",
    "back\\slash.v2",
    "{{ 7 * 7 }} & &amp; \u2028",
    "[red]name[/red]",
)
