using System.Globalization;
using System.Security;
using System.Text;

namespace MLNet.SDN.Cli.Simulation.Figures;

/// <summary>A figure of lines, boxes and words as SVG that reads on light and on dark ground.</summary>
/// <remarks>Coordinates are pixels from the upper left; numbers have two decimals, so that equal results give equal files.</remarks>
internal sealed class SvgFigure(int width, int height, string title)
{
    // Hues of Okabe and Ito that differ for all common kinds of colour blindness, a shade lighter on dark ground; after eight they come again, broken.
    private static readonly string[] Light = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a3fa0", "#3a3a3a", "#56b4e9", "#b58900"];
    private static readonly string[] Dark = ["#4aa8e0", "#ff8a3d", "#2fc79b", "#e6a3c8", "#b98be0", "#d0d0d0", "#8fd0f5", "#f0d060"];
    private readonly StringBuilder body = new();

    /// <summary>Number of colours.</summary>
    public static int Colours => Light.Length;

    /// <summary>Draws a thin grey line.</summary>
    public void Rule(double x1, double y1, double x2, double y2) => body.Append(CultureInfo.InvariantCulture, $"<path class=\"rule\" d=\"M{x1:0.##} {y1:0.##}L{x2:0.##} {y2:0.##}\"/>\n");

    /// <summary>Draws a dark line, as for whiskers.</summary>
    public void Mark(double x1, double y1, double x2, double y2) => body.Append(CultureInfo.InvariantCulture, $"<path class=\"mark\" d=\"M{x1:0.##} {y1:0.##}L{x2:0.##} {y2:0.##}\"/>\n");

    /// <summary>Draws a line of a series through points.</summary>
    public void Line(int series, IEnumerable<(double X, double Y)> points)
    {
        var path = new StringBuilder();
        foreach (var (x, y) in points)
        {
            path.Append(CultureInfo.InvariantCulture, $"{(path.Length == 0 ? 'M' : 'L')}{x:0.##} {y:0.##}");
        }

        body.Append(CultureInfo.InvariantCulture, $"<path class=\"line s{series % Colours}\"{(series < Colours ? "" : $" stroke-dasharray=\"{2 + (2 * (series / Colours))} 3\"")} d=\"{path}\"/>\n");
    }

    /// <summary>Draws a filled box of a series.</summary>
    public void Box(int series, double x, double y, double w, double h) =>
        body.Append(CultureInfo.InvariantCulture, $"<rect class=\"box s{series % Colours}\" x=\"{x:0.##}\" y=\"{y:0.##}\" width=\"{w:0.##}\" height=\"{h:0.##}\"/>\n");

    /// <summary>Writes words.</summary>
    /// <param name="x">Where they begin, end or have their middle.</param>
    /// <param name="y">Their base line.</param>
    /// <param name="words">Plain text.</param>
    /// <param name="anchor"><c>start</c>, <c>middle</c> or <c>end</c>.</param>
    public void Words(double x, double y, string words, string anchor = "start") =>
        body.Append(CultureInfo.InvariantCulture, $"<text x=\"{x:0.##}\" y=\"{y:0.##}\" text-anchor=\"{anchor}\">{SecurityElement.Escape(words)}</text>\n");

    /// <summary>The whole file.</summary>
    public override string ToString()
    {
        var style = new StringBuilder();
        style.Append(".ground{fill:#fff}text{font:13px system-ui,sans-serif;fill:#222}.rule{stroke:#ccc;fill:none}.mark{stroke:#222;fill:none}.line{fill:none;stroke-width:2}\n");
        Append(Light);
        style.Append("@media(prefers-color-scheme:dark){.ground{fill:#16181c}text{fill:#e6e6e6}.rule{stroke:#444}.mark{stroke:#e6e6e6}\n");
        Append(Dark);
        style.Append('}');
        return string.Create(CultureInfo.InvariantCulture, $"""
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">
            <title>{SecurityElement.Escape(title)}</title>
            <style>{style}</style>
            <rect class="ground" width="{width}" height="{height}"/>
            {body}</svg>

            """);

        void Append(string[] colours)
        {
            foreach (var (i, colour) in colours.Index())
            {
                style.Append(CultureInfo.InvariantCulture, $".line.s{i}{{stroke:{colour}}}.box.s{i}{{fill:{colour}}}\n");
            }
        }
    }
}
