"""The page in which ``dvc plots show`` draws (``plots.html_template`` in .dvc/config): DVC's own takes Vega from a
content network and stays blank without one."""

VEGA_LITE = "5.20"
"""The version that DVC's plots are written for, 5."""
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
{refresh_tag}
<title>DVC plots</title>
<script>
(() => {
VEGA
})();
</script>
<style>body { font: 15px system-ui, sans-serif; margin: 2rem; } table { border-spacing: 15px; }</style>
{plot_divs}
</html>
"""


def plots_page() -> str:
    """HTML with the places that DVC fills (``{plot_divs}``, ``{refresh_tag}``) and Vega's scripts inside."""
    import vl_convert  # late: of the extra `pipeline`

    vega = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", VEGA_LITE)
    return PAGE.replace("VEGA", vega, 1)
