using System.Globalization;
using Microsoft.Extensions.Configuration.CommandLine;
using Microsoft.Extensions.Configuration.Json;

namespace MLNet.SDN.Controller.Hosting;

/// <summary>Finds settings that nothing reads: a misspelt key must not be taken for a default.</summary>
internal static class ConfigurationKeys
{
    // Sections and keys that the web host itself reads.
    private static readonly string[] HostKeys = ["urls", "environment", "contentRoot", "applicationName", "webroot", "config", "Logging", "Kestrel", "AllowedHosts"];

    /// <summary>Names every key of our own sections that no option has, and every foreign key on the command line or in the configuration file.</summary>
    /// <param name="configuration">All sources.</param>
    /// <param name="sections">Section name and options type.</param>
    public static IReadOnlyList<string> FindUnknown(IConfigurationRoot configuration, IReadOnlyList<(string Section, Type Options)> sections)
    {
        List<string> faults = [];
        foreach (var (section, options) in sections)
        {
            var known = options.GetProperties().ToDictionary(p => p.Name, p => p.PropertyType, StringComparer.OrdinalIgnoreCase);
            foreach (var child in configuration.GetSection(section).GetChildren())
            {
                if (!known.TryGetValue(child.Key, out var type))
                {
                    faults.Add($"{section}:{child.Key} is no setting; {section} has {string.Join(", ", known.Keys.Order(StringComparer.Ordinal))}.");
                }
                else if (child.Value is null || child.GetChildren().Any())
                {
                    faults.Add($"{section}:{child.Key} must be one value.");
                }
                else if (!CanRead(child.Value, type))
                {
                    faults.Add($"{section}:{child.Key} '{child.Value}' is no {Describe(type)}.");
                }
            }
        }

        // Environment variables hold what is not meant for us, so only files and the command line are checked at the top.
        var roots = sections.Select(s => s.Section).Concat(HostKeys).ToHashSet(StringComparer.OrdinalIgnoreCase);
        foreach (var provider in configuration.Providers.Where(p => p is JsonConfigurationProvider or CommandLineConfigurationProvider))
        {
            faults.AddRange(provider.GetChildKeys([], null).Distinct(StringComparer.OrdinalIgnoreCase).Where(k => !roots.Contains(k))
                .Select(k => $"{k} is no setting; sections are {string.Join(", ", sections.Select(s => s.Section))}, and --urls gives the address to listen on."));
        }

        return [.. faults.Distinct()];
    }

    private static bool CanRead(string text, Type type)
    {
        if (type == typeof(int))
        {
            return int.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out _);
        }

        if (type == typeof(double))
        {
            return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out _);
        }

        return type != typeof(TimeSpan) || TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out _);
    }

    private static string Describe(Type type) =>
        type == typeof(int) ? "whole number" : type == typeof(double) ? "number" : type == typeof(TimeSpan) ? "duration (hh:mm:ss)" : "text";
}
