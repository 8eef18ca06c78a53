using System.IO.Compression;
using System.Text;
using MLNet.SDN.Agent.Queues;

namespace MLNet.SDN.Tests.Agent.Queues;

public sealed class QueueDisciplinesTests : IDisposable
{
    private readonly DirectoryInfo directory = Directory.CreateTempSubdirectory("mlnet-config-");

    public void Dispose() => directory.Delete(recursive: true);

    [Fact]
    public void Detect_ConfigurationOfAKernel_TellsWhatItWasBuiltWith()
    {
        var plain = Path.Combine(directory.FullName, "config");
        File.WriteAllText(plain, "# CONFIG_NET_SCH_PRIO is not set\nCONFIG_NET_SCH_HTB=m\nCONFIG_NET_SCH_ETS=y\nCONFIG_NET_SCH_ETSOMETHING=y\n");
        var packed = Path.Combine(directory.FullName, "config.gz");
        using (var stream = new GZipStream(File.Create(packed), CompressionLevel.Fastest))
        {
            stream.Write(Encoding.ASCII.GetBytes("CONFIG_NET_SCH_PRIO=m\nCONFIG_NET_SCH_HTB=n\n"));
        }

        Assert.Equal(["ets", "htb"], QueueDisciplines.Detect([Path.Combine(directory.FullName, "none"), plain, packed]));
        Assert.Equal(["prio"], QueueDisciplines.Detect([packed]));
    }

    [Fact]
    public void Detect_NothingThatTells_IsUnknown()
    {
        var broken = Path.Combine(directory.FullName, "broken.gz");
        File.WriteAllText(broken, "no archive");

        Assert.Null(QueueDisciplines.Detect([broken, directory.FullName]));
    }
}
