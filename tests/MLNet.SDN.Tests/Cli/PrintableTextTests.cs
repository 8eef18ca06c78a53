using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Cli;

public class PrintableTextTests
{
    [Theory]
    [InlineData("nft: permission denied", "nft: permission denied")]
    [InlineData("a\nfail: 2005 forged\r\u001b[2J\u202eb\u2028c", "a fail: 2005 forged  [2J b c")]
    public void Of_TextOfAnother_StaysOnItsLine(string text, string expected) => Assert.Equal(expected, PrintableText.Of(text));
}
