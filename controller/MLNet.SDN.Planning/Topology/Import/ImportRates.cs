using System.Globalization;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Topology.Import;

/// <summary>Link rates for topologies whose files hold none.</summary>
public sealed record ImportRates
{
    /// <summary>Rate of a host's link, Mbit/s, above zero. Default 10,000.</summary>
    public double HostMbps { get; init; } = 10_000;

    /// <summary>Rate of the hosts of the fullest rack over that of a rack's uplink, above zero; 1 is none. All rack switches are taken to be alike.</summary>
    public double RackOversubscription { get; init; } = 1;

    /// <summary>Rate of the links below a higher switch over that of its uplink, above zero.</summary>
    public double PodOversubscription { get; init; } = 1;

    /// <summary>Everything wrong with the rates.</summary>
    public static IReadOnlyList<FieldFault> Check(ImportRates rates)
    {
        var faults = new List<FieldFault>();
        foreach (var (field, value, most) in new[]
        {
            ("hostMbps", rates.HostMbps, 1e9), ("rackOversubscription", rates.RackOversubscription, 1e4), ("podOversubscription", rates.PodOversubscription, 1e4),
        })
        {
            if (!(value >= 0.001 && value <= most))
            {
                faults.Add(new(field, value.ToString(CultureInfo.InvariantCulture), $"The number must be 0.001 to {most.ToString(CultureInfo.InvariantCulture)}."));
            }
        }

        return faults;
    }
}
