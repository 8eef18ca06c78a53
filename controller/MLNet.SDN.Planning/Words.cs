using System.Globalization;

namespace MLNet.SDN.Planning;

/// <summary>Numbers as operators read them in reasons: two or three figures that count.</summary>
internal static class Words
{
    public static string Seconds(double seconds) => seconds switch
    {
        0 => "0 s",
        < 0.0995 => string.Create(CultureInfo.InvariantCulture, $"{seconds * 1000:0.##} ms"),
        < 9.95 => string.Create(CultureInfo.InvariantCulture, $"{seconds:0.0#} s"),
        < 7200 => string.Create(CultureInfo.InvariantCulture, $"{seconds:0} s"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{seconds / 3600:0.0} h"),
    };

    public static string Number(double number) => string.Create(CultureInfo.InvariantCulture, $"{number:0.##}");

    public static string Percent(double fraction) => string.Create(CultureInfo.InvariantCulture, $"{Math.Max(0, fraction) * 100:0} %");
}
