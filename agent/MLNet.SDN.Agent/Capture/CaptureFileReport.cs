namespace MLNet.SDN.Agent.Capture;
internal static class CaptureFileReport { public static int Print(string path, TextWriter output, TextWriter error) => throw new NotImplementedException(); }
