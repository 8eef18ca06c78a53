using System.Net;
using System.Text.Json;
using MLNet.SDN.Agent.Flows;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Capture;

/// <summary>What <c>mlnet-agent flows FILE</c> does: counts a capture file with the same code as a live interface.</summary>
internal static class CaptureFileReport
{
    private const int MaxFlows = 1_000_000;

    /// <summary>Prints one JSON flow record a line, and a summary to the error stream.</summary>
    /// <param name="path">The file.</param>
    /// <param name="local">Addresses of the host whose view is taken: what they send is egress.</param>
    /// <param name="mtu">Longest IP packet that is no merged one.</param>
    /// <param name="output">Gets the records.</param>
    /// <param name="error">Gets the summary, and what is wrong with the file.</param>
    /// <returns>Exit code: 1 when the file could not be read to its end; what came before is printed all the same.</returns>
    public static int Print(string path, IEnumerable<IPAddress> local, int mtu, TextWriter output, TextWriter error)
    {
        var meter = new FlowMeter(MaxFlows, TimeSpan.FromSeconds(30), local.Select(FlowKey.FromAddress));
        var attribution = new FlowAttribution(null);
        var deltas = new List<FlowDelta>();
        void Flush(CollectScope scope, long now)
        {
            deltas.Clear();
            meter.Collect(scope, now, deltas);
            foreach (var delta in deltas)
            {
                output.WriteLine(JsonSerializer.Serialize(attribution.Describe(delta, InstalledPolicy.None), ContractsJson.Default.FlowRecord));
            }
        }

        try
        {
            using var file = CaptureFile.Open(path, mtu);
            try
            {
                while (file.Read(meter, TimeSpan.Zero))
                {
                    Flush(CollectScope.Ended, file.LastTicks);
                }
            }
            finally
            {
                Flush(CollectScope.Everything, file.LastTicks);
            }
        }
        catch (IOException exception)
        {
            error.WriteLine($"mlnet-agent: {path}: {exception.Message}");
            return 1;
        }

        var totals = meter.Totals();
        error.WriteLine($"{totals.Frames} frames, {totals.Ignored} of them neither TCP nor UDP");
        return 0;
    }
}
