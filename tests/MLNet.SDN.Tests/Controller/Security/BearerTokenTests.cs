using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Controller.Security;

public sealed class BearerTokenTests : IDisposable
{
    private readonly string _file = Path.GetTempFileName();

    public void Dispose() => File.Delete(_file);

    [Theory]
    [InlineData("0123456789abcdef", null)]
    [InlineData("0123456789abcdef\n", null)]
    [InlineData("0123456789abcdef\r\n", null)]
    [InlineData("0123456789abcde", "16 to 512")]
    [InlineData("", "16 to 512")]
    [InlineData("0123456789 abcdef", "without spaces")]
    [InlineData("0123456789abcdef\nmore", "without spaces")]
    [InlineData("0123456789abcdeä", "ASCII")]
    public void Read_File_TakesOneGoodLine(string content, string? fault)
    {
        File.WriteAllText(_file, content);
        File.SetUnixFileMode(_file, UnixFileMode.UserRead);

        var found = BearerToken.Read(_file, out var token);

        if (fault is null)
        {
            Assert.Null(found);
            Assert.Equal("0123456789abcdef", token);
        }
        else
        {
            Assert.Contains(fault, found, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Read_TooLongReadableByOthersOrMissing_IsAFault()
    {
        File.WriteAllText(_file, new string('x', 100_000));
        File.SetUnixFileMode(_file, UnixFileMode.UserRead);
        Assert.Contains("16 to 512", BearerToken.Read(_file, out _), StringComparison.Ordinal);

        File.SetUnixFileMode(_file, UnixFileMode.UserRead | UnixFileMode.GroupRead);
        Assert.Contains("chmod 600", BearerToken.Read(_file, out _), StringComparison.Ordinal);
        Assert.Contains("cannot be read", BearerToken.Read("/nonexistent/token", out _), StringComparison.Ordinal);
        Assert.NotNull(BearerToken.Read("a\0b", out _));
    }
}
